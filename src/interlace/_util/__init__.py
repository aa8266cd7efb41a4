"""What every room needs and none owns: safe files, schemas, words."""
