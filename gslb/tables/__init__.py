"""Steps of the measuring pipeline: tables in, a table out, on whatever engine; nothing is read or written here."""
