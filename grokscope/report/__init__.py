"""What is shown to people: tables in the terminal, figures, and a page to send."""
