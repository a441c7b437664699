"""The two snapshots that answers are made from: catalog (slow to change) and steering (ten times a second)."""
