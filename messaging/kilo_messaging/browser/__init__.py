"""A client of the messaging service for web pages, and a page that shows it in a minute."""
