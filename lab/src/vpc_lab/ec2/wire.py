"""The AWS Query protocol: flat `Name.1.Member` parameters in, XML out."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import parse_qsl
from uuid import uuid4
from xml.sax.saxutils import escape

from vpc_lab.ec2.errors import ApiError, missing

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"

# What an answer may hold: text, a structure, or a list (rendered as `<item>` elements).
Value = object
Structure = Mapping[str, Value]


class Query:
    """The parameters of one call."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.parameters = dict(parameters)

    @classmethod
    def parse(cls, body: str) -> Query:
        """From a form-encoded body or query string."""
        return cls(dict(parse_qsl(body, keep_blank_values=True)))

    @property
    def action(self) -> str:
        """The operation's name."""
        return self.parameters.get("Action", "")

    def get(self, name: str) -> Optional[str]:
        """A parameter, or None where it is absent or empty."""
        return self.parameters.get(name) or None

    def require(self, name: str) -> str:
        """A parameter that has to be there; otherwise MissingParameter."""
        value = self.get(name)
        if value is None:
            raise missing(name[0].lower() + name[1:])
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean parameter, `true` or `false` in any case."""
        value = self.get(name)
        return default if value is None else value.lower() == "true"

    def number(self, name: str) -> Optional[int]:
        """An integer parameter; otherwise InvalidParameterValue."""
        value = self.get(name)
        if value is None:
            return None
        try:
            return int(value)
        except ValueError as error:
            raise ApiError(
                "InvalidParameterValue", f"Value ({value}) for parameter {name} is invalid. Expected an integer."
            ) from error

    def members(self, name: str) -> List[str]:
        """`Name.1`, `Name.2`, … in numerical order."""
        prefix = name + "."
        found = [
            (int(key[len(prefix) :]), value)
            for key, value in self.parameters.items()
            if key.startswith(prefix) and key[len(prefix) :].isdigit()
        ]
        return [value for _, value in sorted(found)]

    def structures(self, name: str) -> List[Dict[str, str]]:
        """`Name.1.Member=…` as one mapping for each index, in numerical order; deeper names stay dotted."""
        prefix = name + "."
        found: Dict[int, Dict[str, str]] = {}
        for key, value in self.parameters.items():
            if key.startswith(prefix):
                index, _, member = key[len(prefix) :].partition(".")
                if index.isdigit() and member:
                    found.setdefault(int(index), {})[member] = value
        return [found[index] for index in sorted(found)]

    def filters(self) -> List[Tuple[str, List[str]]]:
        """`Filter.n.Name` with its `Filter.n.Value.m`."""
        result = []
        for structure in self.structures("Filter"):
            values = Query(structure).members("Value")
            result.append((structure.get("Name", ""), values))
        return result


def matches(filters: Sequence[Tuple[str, List[str]]], attributes: Mapping[str, Iterable[str]]) -> bool:
    """Whether a resource with these attributes passes all filters; values may hold `*` and `?`, as EC2's may.

    An unknown filter name is InvalidParameterValue, except `tag:KEY`, which simply does not match.
    """
    for name, values in filters:
        if name not in attributes:
            if name.startswith("tag:"):
                return False
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
        if not any(fnmatchcase(have, want) for have in attributes[name] for want in values):
            return False
    return True


def tag_attributes(tags: Mapping[str, str]) -> Dict[str, List[str]]:
    """The filter attributes that every taggable resource has."""
    result = {f"tag:{key}": [value] for key, value in tags.items()}
    result["tag-key"] = list(tags)
    result["tag-value"] = list(tags.values())
    return result


def session_tags(query: Query) -> Dict[str, str]:
    """The tags of a session to be (`Tags.member.1.Key`); ValidationError for what STS's reference of `Tag` excludes."""
    tags = {one.get("Key", ""): one.get("Value", "") for one in query.structures("Tags.member")}
    for key, value in tags.items():
        if not (re.fullmatch(r"[\w\s.:/=+@-]{1,128}", key) and re.fullmatch(r"[\w\s.:/=+@-]{0,256}", value)):
            raise ApiError("ValidationError", "1 validation error detected: a value at 'tags' failed its constraint")
        if key.lower().startswith("aws:"):
            raise ApiError("InvalidParameterValue", "Tag keys may not begin with aws:")
    return tags


def specified_tags(query: Query) -> Dict[str, str]:
    """The tags that a call which makes something wants on it (`TagSpecification`)."""
    return {
        entry["Key"]: entry.get("Value", "")
        for specification in query.structures("TagSpecification")
        for entry in Query(specification).structures("Tag")
    }


def tag_set(tags: Mapping[str, str]) -> List[Structure]:
    """Tags as EC2 renders them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def _render(value: Value, parts: List[str]) -> None:
    if isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, Mapping):
        for name, member in value.items():
            if member is not None:
                parts.append(f"<{name}>")
                _render(member, parts)
                parts.append(f"</{name}>")
    elif isinstance(value, (list, tuple)):
        for member in value:
            parts.append("<item>")
            _render(member, parts)
            parts.append("</item>")
    else:
        parts.append(escape(str(value)))


def new_request_id() -> str:
    """A request id as AWS makes them."""
    return str(uuid4())


def ec2_answer(action: str, result: Structure, request_id: str) -> bytes:
    """The answer of an EC2 call that succeeded."""
    parts = [
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{EC2_NAMESPACE}">',
        f"<requestId>{request_id}</requestId>",
    ]
    _render(result, parts)
    parts.append(f"</{action}Response>")
    return "".join(parts).encode()


def ec2_error(error: ApiError, request_id: str) -> bytes:
    """The answer of an EC2 call that failed."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    ).encode()


def sts_answer(action: str, result: Structure, request_id: str) -> bytes:
    """The answer of an STS call that succeeded."""
    parts = [f'<{action}Response xmlns="{STS_NAMESPACE}"><{action}Result>']
    _render(result, parts)
    parts.append(
        f"</{action}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    )
    return "".join(parts).encode()


def sts_error(error: ApiError, request_id: str) -> bytes:
    """The answer of an STS call that failed."""
    kind = "Sender" if error.status < 500 else "Receiver"
    return (
        f'<ErrorResponse xmlns="{STS_NAMESPACE}"><Error><Type>{kind}</Type>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()
