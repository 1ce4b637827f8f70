"""A fleet: learners in several processes, on several machines, that learn one basis."""
