"""What rules do: one module per check; `bodies` has the tables that name them."""
