"""What they do: the small step services, by domain, and the sandboxes that stand for the outside world."""
