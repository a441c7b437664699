"""What several folders of tests share: running servers, asking them, reading what they said."""
