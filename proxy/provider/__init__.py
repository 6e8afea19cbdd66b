"""A local provider: real small models, served in Hugging Face's wire formats."""
