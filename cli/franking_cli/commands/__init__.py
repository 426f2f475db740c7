"""One file for each command word. ``franking_cli.app`` mounts them; none imports another's private names."""
