"""What people see: HTML, notebooks, the terminal, and the report of `visprog doctor`."""
