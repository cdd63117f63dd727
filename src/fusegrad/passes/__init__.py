"""Graph to graph passes: simplify, common subexpressions, dead code."""
