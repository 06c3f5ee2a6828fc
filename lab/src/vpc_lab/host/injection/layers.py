"""What one fault after the other has changed of the same thing, so that each can be undone by itself. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Generic, List, Optional, Tuple, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Layer(Generic[Value]):
    """One change: its number, and what there was before and after it."""

    number: int
    before: Value
    after: Value


class Layers(Generic[Key, Value]):
    """Changes of things that have a key, the latest on top. Not safe to use from several threads at once."""

    def __init__(self) -> None:
        self._of: Dict[Key, List[Layer[Value]]] = {}

    def put(self, number: int, key: Key, before: Value, after: Value) -> None:
        """A change of one thing; a number changes a thing once."""
        self._of.setdefault(key, []).append(Layer(number, before, after))

    def keys(self, number: int) -> Tuple[Key, ...]:
        """The things that the changes of this number were about."""
        return tuple(key for key, layers in self._of.items() if any(one.number == number for one in layers))

    def take(self, number: int, key: Key) -> Optional[Layer[Value]]:
        """Forget a change; the layer if it was the latest, and its `before` is to be again where its `after` still is.

        None for one that a later change lies on: that one, if it found what this one had left, leads back to what there
        was before both.
        """
        layers = self._of.get(key, [])
        found = next((place for place, one in enumerate(layers) if one.number == number), None)
        if found is None:
            return None
        layer = layers.pop(found)
        if not layers:
            del self._of[key]
        if found == len(layers):
            return layer
        above = layers[found]
        if above.before == layer.after:
            layers[found] = Layer(above.number, layer.before, above.after)
        return None
