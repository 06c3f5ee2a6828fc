"""Who answers on the address? A responder on each node, consumers that keep asking, arithmetic of the answers."""
