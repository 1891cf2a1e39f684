"""Tables, transitions and queries: the only SQL of the project.

It knows neither GitHub nor HTTP nor builds; it imports `bot.errors` alone.
"""
