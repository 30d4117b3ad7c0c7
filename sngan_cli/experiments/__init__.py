"""Experiments: tables of runs that differ in a few conditions. koshian2's come as data; users bring theirs."""
