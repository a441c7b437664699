"""Plans: published weights, from the store to rows that can be checked."""
