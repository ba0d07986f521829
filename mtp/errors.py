"""The one exception whose text is meant for the user."""


class UserError(Exception):
    """Something the user can mend; the message names the file, the key and the remedy in one line."""
