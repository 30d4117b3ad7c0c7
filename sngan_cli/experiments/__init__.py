"""Experiments: tables of runs that differ in a few conditions. The seed's own come as data; users bring theirs."""
