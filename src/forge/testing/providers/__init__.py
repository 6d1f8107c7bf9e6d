"""A scripted model provider: real HTTP on this machine, speaking two providers' streaming formats.

`server.py` listens, `script.py` says what is answered, `anthropic_*` and `openai_*` hold each
format's rules (what a real provider would refuse) and wire (what it would send).
"""
