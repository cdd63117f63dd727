"""Transformations: reverse mode over recorded equations, forward mode over graphs."""
