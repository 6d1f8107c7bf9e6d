"""The errors themselves, a file for each family. They are imported from `forge.errors`, which draws
their tree; nothing but that file imports from here.
"""
