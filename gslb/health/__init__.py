"""What edges push, checked, and what a report is still worth as it ages."""
