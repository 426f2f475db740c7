"""What may be tried again, and when. A policy is a frozen value; nothing here sleeps."""

from __future__ import annotations
