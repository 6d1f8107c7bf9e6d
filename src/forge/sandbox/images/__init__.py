"""The image room: what a microVM boots from, built once and kept by the hash of what went in.

`recipe` reads a template's folder, `key` hashes it, `store` lays files out and finds them, `build`
makes what is missing; `kernel`, `agent_part` and `root_part` each make one part, `debian` and
`wheels` fetch, `process` runs programs, `data_disk` makes a machine's empty disk.
"""
