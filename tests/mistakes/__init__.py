"""Tables of what users get wrong, by area, and what they are told."""
