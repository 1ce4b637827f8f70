"""The one message, and the contracts that everything meets."""
