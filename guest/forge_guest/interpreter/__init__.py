"""What runs in the template's own Python: the zygote, the code contexts and their displays.

Started by the agent inside the template's root. It may use the standard library, and of the
template only what the template was asked to preload. It imports nothing of the agent.
"""
