"""What the `deploystack` command can do: one module for each group of commands.

`bot.cli` loads the module of the command that is asked for, and no other: whatever is
slow to import is imported where it is used.
"""
