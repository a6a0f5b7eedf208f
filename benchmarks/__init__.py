"""What is measured, and how. ``inhand bench SUITE`` runs it."""
