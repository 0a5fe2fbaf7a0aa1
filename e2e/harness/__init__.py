"""What the end-to-end tests share: processes, ctldbs, clients, load, and the comparison."""
