"""What every room needs and none owns: words for messages, writing whole, reading safely."""
