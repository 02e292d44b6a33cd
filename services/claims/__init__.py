"""Seller reimbursement claims in seven phases: what a marketplace owes is found, proven, claimed and reconciled."""
