"""A person's own templates: made from a Dockerfile, an OCI image, or a folder that holds one.

`source` says what is built from, `build` makes it; `container` runs the builders, confined;
`pulled` reads the image they leave, `tree` lays its layers over each other and `finish` writes the
root; `config` is what a template adds to it, `shelf` keeps the templates by name.
"""
