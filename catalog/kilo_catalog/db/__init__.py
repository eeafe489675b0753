"""Where image records are kept: the interface (`base`) and its drivers (`sql`, `memory`)."""
