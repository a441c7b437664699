"""What third parties say about addresses: tables and MMDB files in, disjoint prefixes and views out."""
