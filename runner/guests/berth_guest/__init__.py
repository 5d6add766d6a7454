"""What guest.py is made of."""
