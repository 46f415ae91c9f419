"""Omniglot: eight alphabets as eight tasks, every drawing labelled for one of them."""
