"""One page of routes per thing that the API knows; each is a router that `app` mounts."""
