return {false, 'the verb'}
