"""A small world of viewers, resolvers and edges in which policies are compared; it drives the policy of servers."""
