"""What runs, answers or shows threads where no notebook is: the command, the worker, the server."""
