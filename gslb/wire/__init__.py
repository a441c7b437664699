"""DNS on the wire: the strict parser for every query, EDNS options and cookies, and the bytes of answers."""
