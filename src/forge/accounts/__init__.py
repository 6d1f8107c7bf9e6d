"""Who people are: users, logins, keys, their settings and secrets. Knows no HTTP and no runs."""
