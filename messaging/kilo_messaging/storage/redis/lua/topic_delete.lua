-- What is on its way to other topics stays until it has arrived; Redis frees the rest in the background.
for number = 1, #KEYS do
  if number <= 16 or number >= 20 then
    call('UNLINK', KEYS[number])
  end
end
return 1
