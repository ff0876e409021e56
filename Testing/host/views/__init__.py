"""The main window, its layout and its views."""
