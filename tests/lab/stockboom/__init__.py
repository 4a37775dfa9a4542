"""StockBoom's database: schema.sql makes its tables, rows.sql plants what a check or a policy has to tell apart."""
