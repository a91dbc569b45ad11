"""ADAPTERS. One file touches one thing outside; files here do not import each other."""
