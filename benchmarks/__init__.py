"""Speed, each number a ratio measured in one run; nothing in the library imports this."""
