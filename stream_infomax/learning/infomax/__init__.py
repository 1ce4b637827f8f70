"""Neural population infomax (Huang & Zhang 2017), online."""
