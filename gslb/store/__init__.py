"""Where state is kept: what is true this minute, and the files that are read and written."""
